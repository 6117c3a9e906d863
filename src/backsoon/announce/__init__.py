"""Words to people: the announcements of the outbox, delivered by mail, webhook and chat.

Who is told is found once (``receivers``), then each message is claimed, sent and checked off on its
own (``claims``, ``mail``, ``webhooks``, ``chat``); ``delivering`` makes a round of it.
"""
