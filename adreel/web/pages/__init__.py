"""The storyboard: the pages where a person sees an ad's clips side by side, plays them and asks for others.

The pages call the functions behind the API's routes and add no rule of their own. They work without script; script
only brings what has changed to a page that is open.
"""
