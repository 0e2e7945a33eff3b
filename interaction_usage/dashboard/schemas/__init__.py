"""The shapes of the API's answers and of what it takes, for OpenAPI: a file for each part of it."""
