"""Statements: files of others, read into lines whole or refused whole. No database here."""
