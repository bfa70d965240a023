"""Every column of the page's tables has a meaning, shown where a pointer or the focus is on it."""

from collections.abc import Mapping

_RANGE = "Below it is the 95 % Wilson interval."
_VIEWS = {
    "adaptive": "Share of all test images, in %, that stay right under every attack by someone who "
    f"knows the defense. {_RANGE} Compare runs by this column.",
    "deployed": "Share of all test images, in %, that stay right under every attack on the scores "
    f"as deployed. {_RANGE}",
    "published": "Share of all test images, in %, that stay right under every attack through what "
    f"the paper's attacker saw. {_RANGE}",
    "transfer": "Share of all test images, in %, that stay right under attacks that were crafted "
    f"on another network. {_RANGE}",
    "every view": "Share of all test images, in %, that stay right under every attack through "
    f"every view. {_RANGE}",
}
_PAIRED = {
    "difference": "First run minus the other one, in points, on the same images. The 95 % interval "
    "is of Newcombe's method 10. It excludes zero where the runs differ.",
    "first run": f"Share of these images, in %, that the first run keeps right. {_RANGE}",
    "second run": f"Share of these images, in %, that the second run keeps right. {_RANGE}",
    "only first": "Images that only the first run classifies correctly.",
    "only second": "Images that only the second run classifies correctly.",
    "only it": "Images that this run alone classifies correctly.",
    "only other": "Images that the other run alone classifies correctly.",
    "p": "McNemar's exact test that both runs are equally often right, on the same images.",
    "n": "Number of test images that both runs were attacked on.",
}
_EVERYWHERE = {
    **_VIEWS,
    **_PAIRED,
    "run": "Short name of the run. Its folder and its date appear on the name.",
    "runs": "Short names of the runs that differ in their seed alone.",
    "seeds": "Their seeds.",
    "view": "What the attacker differentiates, and so knows.",
    "verdict": "Whether the numbers of this row can be believed, and why. "
    "The list above the table says what each word means.",
    "clean acc": f"Share of all test images, in %, that are right without an attack. {_RANGE}",
    "robust acc": f"Share of all test images, in %, that stay right under every attack. {_RANGE}",
    "accuracy": f"Share of all test images, in %, that this run classifies correctly. {_RANGE}",
    "images": "Number of test images that were attacked. Less than 100 are few.",
    "defense": "Class of the defense.",
    "data": "Data set of the test images.",
    "suite": "The attacks and their settings. Only rows of one suite can be compared.",
    "passes": "Forward passes that all attacks took for a test image, through the costliest view.",
    "time, s": "Seconds that all attacks took for a test image, through the costliest view.",
    "training": "Epochs that were trained, of those that the config asks for.",
    "unit test": "Share of adversarial images, in %, known to be there, that the strongest attack "
    "finds. A sound attack finds more than 95 %.",
    "sign": "A sign that gradients are masked.",
    "attack": "Name of the attack in the paper's table.",
    "model": "Column of the paper's table.",
    "paper": "Number that the paper prints, in %.",
    "ours, paper's attack": f"Our network under the paper's attack, in %. {_RANGE}",
}
_OF_PAPERS = {
    "difference": "Our number minus the paper's, in points.",
    "agreement": "Whether the paper's number lies within the 95 % interval of ours.",
}
_STARTS = {
    "of ": "The same share, in %, of the run that the others are compared with.",
    "ours, ": f"Our network attacked through this view, in %. {_RANGE}",
}


def hint(name: str, kind: str = "") -> str:
    """Return what a column means; nothing where its name says all.

    Args:
        name: Its header.
        kind: The table: ``attacks``, ``papers``, ``settings``, or another one.
    """
    if kind == "settings" and name != "run":
        return f"Value of {name} in config.yaml."
    own: Mapping[str, str] = {**_EVERYWHERE, **(_OF_PAPERS if kind == "papers" else {})}
    if name in own:
        return own[name]
    for start, meaning in _STARTS.items():
        if name.startswith(start):
            return meaning
    if kind == "attacks":
        return (
            f"Attack success of {name}: share of the correctly classified images, in %, on which "
            f"it succeeds. {_RANGE}"
        )
    return ""
