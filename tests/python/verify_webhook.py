"""Verifies webhooks with the library of Standard Webhooks, which shares no code with plugd.

    verify_webhook.py SECRET < WEBHOOKS

Reads one JSON object a line, with `headers` and `body`; prints the id of each event that is genuine, and `forged` for others.
"""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

WEBHOOK = Webhook(sys.argv[1])

for line in sys.stdin:
    posted = json.loads(line)
    try:
        print(WEBHOOK.verify(posted["body"], posted["headers"])["id"])
    except WebhookVerificationError:
        print("forged")
