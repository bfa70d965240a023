"""Records made by hand."""

from robust.evaluation.records import AttackInfo, Evaluation, Header, Row


def info(name="FGSM", *, eps=0.1, norm="Linf", target=None, minimal=False, **arguments):
    return AttackInfo(name, {"eps": eps, **arguments}, norm, eps, target, minimal)


def header(**attacks):
    return Header(
        suite="test",
        attacks=attacks,
        seed=0,
        block=250,
        data="digits",
        data_sha256="d",
        model_sha256="m",
        adaptive_sha256="a",
    )


def row(index=0, *, view="deployed", attack="fgsm", label=0, clean=0, adv=0, target=-1, **rest):
    values = {
        "attacked": clean == label and label != target,
        "clean_tie": False,
        "adv_tie": False,
        "zero_gradient": False,
        "linf": 0.1,
        "l2": 0.5,
        "l0": 3.0,
        "forwards": 1.0,
        "seconds": 0.001,
        **rest,
    }
    return Row(view, attack, index, label, target, clean_pred=clean, adv_pred=adv, **values)


def rows(broken, n, **rest):
    """``n`` correct samples of which the first ``broken`` are turned."""
    return [row(i, adv=1 if i < broken else 0, **rest) for i in range(n)]


def evaluation(attacks, successes, n=200):
    """An evaluation with ``successes[view, attack]`` of ``n`` samples broken."""
    return Evaluation(
        header(**attacks),
        [r for (v, a), k in successes.items() for r in rows(k, n, view=v, attack=a)],
    )
