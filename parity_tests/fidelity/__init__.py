"""The reference against what the C++ program recorded."""
