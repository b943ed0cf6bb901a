"""Views of a session for people: the report in two languages, the summary in the terminal. They conclude nothing."""
