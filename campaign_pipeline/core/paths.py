"""Where the project's own files are."""

from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[2]
SQL_DIR = PROJECT_DIR / "sql"
SAMPLE_DEFINITIONS_DIR = PROJECT_DIR / "data" / "definitions"
