"""Pages for people: HTML from the server. They ask the API's functions and nothing below them."""
