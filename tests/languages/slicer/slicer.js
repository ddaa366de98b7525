// plugins/slicer in JavaScript: ends a flow after a number of packets.

let limit;

export function open(options) {
  limit = options.integer("limit", "Packets after which a flow ends.", { default: 20, least: 1 });
  return {
    description: "Ends a flow after a number of packets.",
    cutsFlows: true,
    outputs: {
      packets: ["integer", "Packets of the flow."],
      sliced: ["boolean", "Whether the flow ended because it had `limit` packets."],
    },
  };
}

export function init() {
  return { packets: 1 };
}

export function update(state) {
  state.packets++;
}

export function cuts(state) {
  return state.packets >= limit;
}

export function expire(state) {
  return { packets: state.packets, sliced: state.packets >= limit };
}
