"""Inputs with which exported models are checked."""
