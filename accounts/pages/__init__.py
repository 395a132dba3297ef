"""The pages below /account, for people with a browser: forms over the services that the API calls too.

To leave them out, remove their `include` from config/urls.py and `PagesMiddleware` from MIDDLEWARE.
"""
