"""Who: segment definitions, what their names may refer to, their compilation to SQL, and their members."""
