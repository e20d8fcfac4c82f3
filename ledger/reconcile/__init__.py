"""Three books that must agree: our ledger, the payment processor's report, the bank's statement.

statements/   read a file into lines, whole or not at all
importing     keep the lines once and book what they say
matching      pair what is the same money (pure); differences names what is left (pure)
run           one day's reconciliation over the database, and its report
resolve       close a difference, with an entry where money is concerned
periods       close a day or a month, reproduce it, open it again
"""
