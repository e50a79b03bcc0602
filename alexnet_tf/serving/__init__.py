"""From a trained net to what others run: SavedModel, TFLite, ONNX, and a client."""
