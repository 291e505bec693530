"""A chat application: FastAPI, chatmem and one page. `app.py` is where to begin."""
