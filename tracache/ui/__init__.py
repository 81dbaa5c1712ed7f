"""The page: layout, handlers and what they show."""
