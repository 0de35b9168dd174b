// The distribution over a vocabulary on the engines: the check that all share, and the calls into the kernels.
#include "kernels/cpu/certainty.h"

#include "host/core/views.h"
#include "host/engines/engines.h"
#include "host/engines/packed_matrix.h"
#include "kernels/reference/certainty.h"

namespace lexiscope {
namespace {

void require_targets(const CertaintyArgs& args, std::size_t vocabulary) {
  require(!args.target.empty() || (args.target_log_prob.empty() && args.target_rank.empty()),
          "certainty: target_log_prob or target_rank is wanted without targets");
  for (std::size_t t = 0; t < args.target.size; ++t)
    require(args.target[t] < 0 || static_cast<std::size_t>(args.target[t]) < vocabulary,
            "certainty: target {} is token {}, the head has {}", t, args.target[t], vocabulary);
}

void require_outputs_apart(const CertaintyArgs& args) {
  const auto bytes = [](auto view) {
    return MatrixView<const std::byte>{reinterpret_cast<const std::byte*>(view.data), view.rows,
                                       view.columns * sizeof(*view.data), view.stride * sizeof(*view.data)};
  };
  const std::pair<const char*, MatrixView<const std::byte>> outputs[] = {
      {"target_log_prob", bytes(as_row(args.target_log_prob))},
      {"target_rank", bytes(as_row(args.target_rank))},
      {"entropy", bytes(as_row(args.entropy))},
      {"top_id", bytes(args.top_id)},
      {"top_log_prob", bytes(args.top_log_prob)}};
  for (std::size_t i = 0; i < std::size(outputs); ++i) {
    require_apart("certainty", outputs[i].second, outputs[i].first, bytes(args.x), "x");
    for (std::size_t j = 0; j < i; ++j)
      require_apart("certainty", outputs[i].second, outputs[i].first, outputs[j].second, outputs[j].first);
  }
}

}  // namespace

void Engine::certainty(const CertaintyArgs& args) {
  require_weight(args.head, name(), args.x.columns, "certainty: head");
  const auto [rows, vocabulary] = std::pair{args.x.rows, args.head->rows()};
  require_matrix("certainty: x", args.x);
  require_vector_if_any("certainty: bias", args.bias, vocabulary);
  require_vector_if_any("certainty: target", args.target, rows);
  require_vector_if_any("certainty: target_log_prob", args.target_log_prob, rows);
  require_vector_if_any("certainty: target_rank", args.target_rank, rows);
  require_vector_if_any("certainty: entropy", args.entropy, rows);
  require_matrix_if_any("certainty: top_id", args.top_id, rows, args.top_id.columns);
  require(args.top_id.empty() == args.top_log_prob.empty(), "certainty: one of top_id and top_log_prob is empty");
  require_matrix_if_any("certainty: top_log_prob", args.top_log_prob, rows, args.top_id.columns);
  require(args.top_id.empty() || args.top_id.columns <= vocabulary, "certainty: the top {} are wanted of {} tokens",
          args.top_id.columns, vocabulary);
  if (memory_is_host()) require_targets(args, vocabulary);
  require_outputs_apart(args);
  if (rows > 0) do_certainty(args);
}

void ReferenceEngine::do_certainty(const CertaintyArgs& args) {
  reference::certainty(args, static_cast<const ReferencePackedMatrix&>(*args.head).view());
}

void CpuEngine::do_certainty(const CertaintyArgs& args) {
  const auto& head = static_cast<const CpuPackedMatrix&>(*args.head).weights();
  cpu::certainty(args, head, context(cpu::certainty_workspace(args, head)));
}

}  // namespace lexiscope
