"""What operators see: metrics, receipts and logs.

Everything here is told what happened; nothing here decides anything, and no token ever reaches it on purpose.
"""
