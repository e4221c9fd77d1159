"""gunicorn's settings for the shop, all from the environment.

gunicorn reads this file automatically when it starts in this directory.
"""

import os

bind = os.environ.get("SHOP_BIND", "127.0.0.1:8000")
workers = int(os.environ.get("SHOP_WORKERS", "4"))
proc_name = os.environ.get("SHOP_NAME", "shop")
statsd_host = os.environ.get("SHOP_STATSD", "127.0.0.1:9125")
statsd_prefix = os.environ.get("SHOP_STATSD_PREFIX", "")
