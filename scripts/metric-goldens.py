"""Writes test/golden/metrics.json: seeded random inputs, and what reference libraries make of them.

    pip install numpy scipy scikit-learn scikit-image pycocotools jiwer
    python scripts/metric-goldens.py

Made with numpy 2.4.6, scipy 1.17.1, scikit-learn 1.9.1, scikit-image 0.26.0, pycocotools 2.0.11, jiwer 4.0.0.
VOC average precision is VOCdevkit's VOCevaldet.m and VOCap.m, written out below.
"""
import contextlib
import io
import json
import math
from pathlib import Path

import jiwer
import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy import stats
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

rng = np.random.default_rng(20240607)
short = lambda a, digits=4: np.round(a, digits).tolist()


def classification():
    n, classes = 120, 4
    labels = rng.choice(classes, n, p=[0.5, 0.25, 0.15, 0.1])
    logits = np.round(rng.normal(size=(n, classes)) + 1.2 * np.eye(classes)[labels], 3)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    predicted = logits.argmax(1)
    binary_labels = rng.integers(0, 2, n)
    binary = np.round(rng.normal(size=n) + 0.8 * binary_labels, 1)  # one digit: many ties
    f1 = {a: 100 * f1_score(labels, predicted, average=a) for a in ("macro", "micro", "weighted")}
    f1["binary"] = 100 * f1_score(binary_labels, binary >= 0.5)
    return {
        "labels": labels.tolist(), "logits": logits.tolist(), "binaryLabels": binary_labels.tolist(), "binaryScores": binary.tolist(),
        "f1": f1, "classAccuracy": 100 * balanced_accuracy_score(labels, predicted),
        "aucBinary": 100 * roc_auc_score(binary_labels, binary), "aucOvr": 100 * roc_auc_score(labels, shares, multi_class="ovr"),
    }


def statistics():
    flips = [[3, 11], [0, 6], [25, 25], [40, 61], [1, 2]]
    x = np.round(rng.normal(size=60), 1)
    y = np.round(0.6 * x + rng.normal(size=60), 1)
    before = np.round(rng.normal(0.7, 0.1, 80), 3)
    after = np.round(before - 0.02 + rng.normal(0, 0.04, 80), 3)
    mean_change = lambda i: (after[i] - before[i]).mean()
    found = stats.bootstrap((np.arange(80),), np.vectorize(mean_change, signature="(n)->()"), n_resamples=20000, method="percentile", rng=np.random.default_rng(1))
    corr = lambda i: np.corrcoef(x[i], y[i])[0, 1]
    noisy = np.round(y + rng.normal(0, 0.5, 60), 2)
    corr_change = lambda i: np.corrcoef(x[i], noisy[i])[0, 1] - corr(i)
    found_corr = stats.bootstrap((np.arange(60),), np.vectorize(corr_change, signature="(n)->()"), n_resamples=20000, method="percentile", rng=np.random.default_rng(2))
    pair = lambda r: [float(r.confidence_interval.low), float(r.confidence_interval.high)]
    return {
        "flips": [{"worse": a, "better": b, "p": stats.binomtest(min(a, b), a + b).pvalue} for a, b in flips],
        "x": x.tolist(), "y": y.tolist(), "noisy": noisy.tolist(), "pearson": stats.pearsonr(x, y).statistic, "spearman": stats.spearmanr(x, y).statistic,
        "before": before.tolist(), "after": after.tolist(),
        "meanChange": {"interval": pair(found), "standardError": float(found.standard_error)},
        "pearsonChange": {"interval": pair(found_corr), "standardError": float(found_corr.standard_error)},
    }


def detection():
    images, categories = 24, 3
    truth, found = [], []
    for image in range(images):
        objects = []
        for _ in range(rng.integers(0, 6)):
            left, top = rng.uniform(0, 70, 2)
            width, height = rng.uniform(8, 40, 2)
            objects.append({"box": short([left, top, left + width, top + height], 2), "label": int(rng.integers(categories)), "crowd": bool(rng.random() < 0.1), "difficult": bool(rng.random() < 0.15)})
        detections = []
        for o in objects:
            for _ in range(rng.integers(0, 3)):
                jitter = rng.normal(0, 2.5, 4)
                detections.append({"box": short(np.array(o["box"]) + jitter, 2), "label": o["label"] if rng.random() < 0.9 else int(rng.integers(categories)), "score": round(float(rng.uniform(0.2, 1)), 3)})
        for _ in range(rng.integers(0, 5)):
            left, top = rng.uniform(0, 70, 2)
            width, height = rng.uniform(8, 40, 2)
            detections.append({"box": short([left, top, left + width, top + height], 2), "label": int(rng.integers(categories)), "score": round(float(rng.uniform(0, 0.8)), 3)})
        truth.append(objects)
        found.append(detections)
    return {"truth": truth, "found": found, **coco(truth, found, categories), **voc(truth, found, categories)}


def coco(truth, found, categories):
    as_xywh = lambda b: [b[0], b[1], b[2] - b[0], b[3] - b[1]]
    annotations = [{"id": 0, "image_id": i, "category_id": o["label"], "bbox": as_xywh(o["box"]), "area": 1.0, "iscrowd": int(o["crowd"])} for i, objects in enumerate(truth) for o in objects]
    for k, a in enumerate(annotations):
        a["id"] = k + 1  # pycocotools takes id 0 for no match
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = {"images": [{"id": i} for i in range(len(truth))], "categories": [{"id": c} for c in range(categories)], "annotations": annotations}
        gt.createIndex()
        dt = gt.loadRes([{"image_id": i, "category_id": d["label"], "bbox": as_xywh(d["box"]), "score": d["score"]} for i, ds in enumerate(found) for d in ds])
        e = COCOeval(gt, dt, "bbox")
        e.evaluate()
        e.accumulate()
        e.summarize()
    return {"ap": 100 * e.stats[0], "ap50": 100 * e.stats[1], "ap75": 100 * e.stats[2]}


def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def voc(truth, found, categories):
    eleven, area = [], []
    for c in range(categories):
        objects = [[o for o in per if o["label"] == c] for per in truth]
        taken = [[False] * len(per) for per in objects]
        total = sum(not o["difficult"] for per in objects for o in per)
        hits, misses = [0], [0]
        for i, d in sorted(((i, d) for i, ds in enumerate(found) for d in ds if d["label"] == c), key=lambda x: -x[1]["score"]):
            shares = [overlap(d["box"], o["box"]) for o in objects[i]]
            best = int(np.argmax(shares)) if shares else -1
            hit = miss = 0
            if best >= 0 and shares[best] >= 0.5:
                if not objects[i][best]["difficult"]:
                    hit, miss = (0, 1) if taken[i][best] else (1, 0)
                    taken[i][best] = True
            else:
                miss = 1
            hits.append(hits[-1] + hit)
            misses.append(misses[-1] + miss)
        recall = np.array(hits[1:]) / total
        precision = np.array(hits[1:]) / np.maximum(1, np.array(hits[1:]) + np.array(misses[1:]))
        eleven.append(np.mean([max(precision[recall >= t / 10], default=0.0) for t in range(11)]))
        mrec, mpre = np.r_[0, recall, 1], np.r_[0, precision, 0]
        mpre = np.maximum.accumulate(mpre[::-1])[::-1]
        area.append(float(np.sum((mrec[1:] - mrec[:-1]) * mpre[1:])))
    return {"voc11": 100 * float(np.mean(eleven)), "vocAll": 100 * float(np.mean(area))}


def images():
    out = []
    for height, width, channels in ((24, 20, 1), (16, 17, 3)):
        target = np.round(rng.random((channels, height, width)), 3)
        output = np.round(target + rng.normal(0, 0.15, target.shape), 3)
        out.append({
            "dims": [1, channels, height, width], "target": target.ravel().tolist(), "output": output.ravel().tolist(),
            "psnr": peak_signal_noise_ratio(target, output, data_range=1),
            "ssim": structural_similarity(target, output, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=0),
        })
    return out


def speech():
    words = "the cat sat on a mat while rain fell and nobody knew why".split()
    references, hypotheses = [], []
    for _ in range(30):
        reference = [str(w) for w in rng.choice(words, rng.integers(1, 12))]
        hypothesis = [str(rng.choice(words)) if rng.random() < 0.2 else w for w in reference if rng.random() > 0.1]
        if rng.random() < 0.3:
            hypothesis.insert(int(rng.integers(0, len(hypothesis) + 1)), str(rng.choice(words)))
        references.append(" ".join(reference))
        hypotheses.append(" ".join(hypothesis))
    return {"references": references, "hypotheses": hypotheses, "wer": 100 * jiwer.wer(references, hypotheses), "cer": 100 * jiwer.cer(references, hypotheses)}


def language():
    logits = np.round(rng.normal(0, 2, (3, 6, 9)), 3)
    ids = rng.integers(0, 9, (3, 6))
    mask = np.array([[1] * 6, [1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 0]])
    log_shares = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    kept = mask[:, 1:] == 1
    nats = -np.take_along_axis(log_shares[:, :-1], ids[:, 1:, None], -1)[..., 0][kept]
    return {"logits": logits.tolist(), "ids": ids.tolist(), "mask": mask.tolist(), "perplexity": math.exp(nats.mean())}


target = Path(__file__).resolve().parent.parent / "test" / "golden" / "metrics.json"
content = {"classification": classification(), "statistics": statistics(), "detection": detection(), "images": images(), "speech": speech(), "language": language()}
target.write_text(json.dumps(content, separators=(",", ":")) + "\n")
print(target, target.stat().st_size, "bytes")
