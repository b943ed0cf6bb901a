"""Show a session to people as HTML, Markdown, JUnit and terminal text, in English and French."""
