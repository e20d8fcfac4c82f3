"""The books as files: one row for each posting, from the entries' exact bytes, streamed.

lines        what is exported: entries of some days, in the log's order
csv_file     comma-separated, formulas defused
xlsx_file    a workbook with typed cells and totals as formulas
parquet_file columns for data tools
journals     hledger and beancount journals with balance assertions
day_pdf      a day's or month's report on paper
export       choose a writer, show progress, leave a whole file or none
"""
