// Attention on the engines: the calls into the kernels.
#include "kernels/cpu/attention.h"

#include "host/core/require.h"
#include "host/core/views.h"
#include "host/engines/attention_checks.h"
#include "host/engines/engines.h"
#include "kernels/reference/attention.h"

namespace lexiscope {

void Engine::attention(const AttentionArgs& args) {
  require_attention(args);
  if (args.out.elements() > 0) do_attention(args);
}

void ReferenceEngine::do_attention(const AttentionArgs& args) {
  const DType dtype = args.query.dtype;
  if (dtype != DType::f32 && dtype != DType::f64 && dtype != DType::bf16 && dtype != DType::f16)
    fail(ErrorCode::kUnsupported, "attention: the reference engine takes f32, f64, bf16 and f16, not {}",
         name_of(dtype));
  reference::attention(args);
}

void CpuEngine::do_attention(const AttentionArgs& args) {
  const DType dtype = args.query.dtype;
  if (dtype != DType::f32 && dtype != DType::bf16)
    fail(ErrorCode::kUnsupported, "attention: the cpu engine takes f32 and bf16, not {}", name_of(dtype));
  cpu::attention(args, context(cpu::attention_workspace(args, threads_)));
}

}  // namespace lexiscope
