"""The part of /api/v1/ that is about calls: calls, recordings, webhook deliveries, and ringing a group."""
