"""Log mathematics without storage: RFC 6962 trees and C2SP signed notes."""
