"""Patch experts of all landmarks of a view evaluated as few large products; shared by several technologies."""
