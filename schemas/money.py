"""Amounts of money as whole numbers of the currency's minor unit."""

from decimal import ROUND_HALF_EVEN, Decimal

_MINOR_DIGITS = {
    **dict.fromkeys(
        (
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ),
        0,
    ),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}
"""Digits behind the point where there are not two. Source: ISO 4217, list one, column "minor unit"."""


def minor_units(amount: Decimal, currency: str) -> int:
    """Return an amount in main units (19.90 EUR) as minor units (1990); fractions round half to even."""
    scaled = amount.scaleb(_MINOR_DIGITS.get(currency.upper(), 2))
    return int(scaled.to_integral_value(rounding=ROUND_HALF_EVEN))
