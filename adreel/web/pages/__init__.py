"""The storyboard: pages where people compare an ad's clips, play them and order others.

The pages call the same service as the API. They work without JavaScript; a script only refreshes an open page.
"""
