#!/usr/bin/env python3
"""Train a forest on the flows of a capture, and deploy it as a plugin: model_prediction.py CAPTURE.

A program of the kind that users of NFStream begin with. It prints the prediction and the label of each flow.
"""

import sys

import numpy
from nfstream import NFPlugin, NFStreamer
from sklearn.ensemble import RandomForestClassifier

COLUMNS = ["bidirectional_packets", "bidirectional_bytes"]


class ModelPrediction(NFPlugin):
    def on_init(self, packet, flow):
        flow.udps.model_prediction = 0

    def on_expire(self, flow):
        to_predict = numpy.array([flow.bidirectional_packets, flow.bidirectional_bytes]).reshape((1, -1))
        flow.udps.model_prediction = self.my_model.predict(to_predict)[0]


if __name__ == "__main__":
    frame = NFStreamer(source=sys.argv[1]).to_pandas()
    labels = frame["application_category_name"].apply(lambda name: 1 if "Network" in name else 0)
    model = RandomForestClassifier(random_state=0)
    model.fit(frame[COLUMNS].to_numpy(), labels)
    streamer = NFStreamer(source=sys.argv[1], udps=ModelPrediction(my_model=model))
    for flow in streamer:
        print(flow.src_port, flow.udps.model_prediction, flow.application_category_name)
