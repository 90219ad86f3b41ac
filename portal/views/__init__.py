"""The pages: thin, each puts together what other modules say and draw."""
