/**
 * Writes a small MobileNetV2 for CIFAR-10 with drawn weights: `node bench/depthwise.mjs .cache/depthwise.onnx`, which
 * `quantize train --recipe bench/train-depthwise.yaml` then trains.
 */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { saveModel } from '../dist/index.js';
import { mobileNet, SMALL } from './training-nets.mjs';

const [out] = process.argv.slice(2);
if (!out) throw new Error('usage: node bench/depthwise.mjs out.onnx');
mkdirSync(path.dirname(out), { recursive: true });
saveModel(mobileNet(SMALL), out);
