"""Log mathematics without storage: RFC 6962 trees and proofs, C2SP notes, tiles and receipts."""
