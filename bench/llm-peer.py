"""onnxruntime's MatMulNBitsQuantizer on a file: python llm-peer.py MODEL.onnx OUT.onnx [BLOCK]; used by llm.mjs."""

import sys

import onnx
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

source, out, block = sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 32
quantizer = MatMulNBitsQuantizer(onnx.load(source), block_size=block, is_symmetric=True)
quantizer.process()
quantizer.model.save_model_to_file(out, True)
