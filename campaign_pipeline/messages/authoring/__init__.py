"""From what an author writes (layouts, partials, MJML, style sheets) to the self-contained texts that are stored."""
