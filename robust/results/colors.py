"""Everyone can tell apart these colours and markers of figures and pages."""

# Okabe and Ito's palette, which every common kind of colour vision tells apart. A brown replaces
# its yellow, which is faint on white. The markers tell the lines apart in grey as well.
COLORS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#000000",
    "#7A5C2E",
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
