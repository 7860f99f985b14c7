"""The way in: what the server accepts, decided in one place, on aiohttp's ``web.Server``."""
