// The views of the engine's memory in each operation's arguments, one list an operation. A view of const elements is
// read alone; what a view of other elements points to is written and may be read. Rows that an operation takes from the
// host's memory on every engine are in no list.
#pragma once

#include "lexiscope/engine.h"

namespace lexiscope {

/// visit(view) for every such view in `args`, empty ones too.
template <typename Visit>
void for_each_view(AttentionArgs& args, Visit&& visit) {
  visit(args.query), visit(args.key), visit(args.value), visit(args.out), visit(args.key_padding);
  AttentionStatistics& wanted = args.statistics;
  visit(wanted.log_sum_exp), visit(wanted.entropy), visit(wanted.maximum), visit(wanted.argmax);
}

template <typename Visit>
void for_each_view(AttentionMapArgs& args, Visit&& visit) {
  visit(args.query), visit(args.key), visit(args.key_padding), visit(args.log_sum_exp);
  visit(args.received), visit(args.by_distance), visit(args.pooled_mean), visit(args.pooled_maximum);
  visit(args.top_index), visit(args.top_weight), visit(args.rectangle);
}

template <typename Visit>
void for_each_view(RotaryEmbeddingArgs& args, Visit&& visit) {
  visit(args.x), visit(args.cosine), visit(args.sine);
}

template <typename Visit>
void for_each_view(RmsNormArgs& args, Visit&& visit) {
  visit(args.x), visit(args.gain), visit(args.y);
}

template <typename Visit>
void for_each_view(LayerNormArgs& args, Visit&& visit) {
  visit(args.x), visit(args.residual), visit(args.gain), visit(args.bias), visit(args.y);
}

template <typename Visit>
void for_each_view(LinearArgs& args, Visit&& visit) {
  visit(args.x), visit(args.bias), visit(args.residual), visit(args.y);
}

template <typename Visit>
void for_each_view(GeluMlpArgs& args, Visit&& visit) {
  visit(args.x), visit(args.up_bias), visit(args.down_bias), visit(args.residual), visit(args.y);
}

template <typename Visit>
void for_each_view(SwigluMlpArgs& args, Visit&& visit) {
  visit(args.x), visit(args.gate_bias), visit(args.up_bias), visit(args.down_bias), visit(args.residual), visit(args.y);
}

template <typename Visit>
void for_each_view(CertaintyArgs& args, Visit&& visit) {
  visit(args.x), visit(args.bias), visit(args.target), visit(args.target_log_prob), visit(args.target_rank);
  visit(args.entropy), visit(args.top_id), visit(args.top_log_prob);
}

template <typename Visit>
void for_each_view(DriftArgs& args, Visit&& visit) {
  visit(args.before), visit(args.after), visit(args.norm), visit(args.relative), visit(args.cosine);
}

template <typename Visit>
void for_each_view(ConvertArgs& args, Visit&& visit) {
  visit(args.from), visit(args.to);
}

template <typename Visit>
void for_each_view(CovarianceArgs& args, Visit&& visit) {
  visit(args.mean), visit(args.covariance);
}

template <typename Visit>
void for_each_view(EigendecompositionArgs& args, Visit&& visit) {
  visit(args.matrix), visit(args.eigenvalues), visit(args.eigenvectors);
}

template <typename Visit>
void for_each_view(ProjectionArgs& args, Visit&& visit) {
  visit(args.mean), visit(args.components), visit(args.scores);
}

template <typename Visit>
void for_each_view(NeighborsArgs& args, Visit&& visit) {
  visit(args.points), visit(args.queries), visit(args.indices), visit(args.distances);
}

template <typename Visit>
void for_each_view(AffinitiesArgs& args, Visit&& visit) {
  visit(args.indices), visit(args.distances);
}

template <typename Visit>
void for_each_view(GlobalAffinitiesArgs& args, Visit&& visit) {
  visit(args.points);
}

template <typename Visit>
void for_each_view(TsneGradientArgs& args, Visit&& visit) {
  visit(args.positions), visit(args.gradient);
}

template <typename Visit>
void for_each_view(TsneStepArgs& args, Visit&& visit) {
  visit(args.positions), visit(args.update), visit(args.gains);
}

template <typename Visit>
void for_each_view(TsneKlArgs& args, Visit&& visit) {
  visit(args.positions);
}

template <typename Visit>
void for_each_view(CosineStatisticsArgs& args, Visit&& visit) {
  visit(args.directions), visit(args.norms), visit(args.mean);
}

}  // namespace lexiscope
