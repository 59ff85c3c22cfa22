"""What tests share: a receiver that counts, real processes, and readers of what they leave behind."""
