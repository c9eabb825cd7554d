"""A camera or a video measured while it runs, on a page in the browser: `auparity live`.

`source.py` holds the newest frame, `measure.py` measures it and records tables, `server.py` serves `page.html`.
"""
