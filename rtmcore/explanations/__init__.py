"""What each documented code means, why it happens, and what to do about it, in sentences for people."""
