"""Many events become one run: collects members into batches, and releases each batch as one trigger request per target.

May import `routing`, `rules`, `conf` and the root. The flows are `collect` and `release`; `condition` decides; both work
through the ports in `batch`. `docs/feeds.md` has the words, and a picture of a batch's life.
"""
