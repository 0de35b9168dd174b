// Tensor's typed accessors: the only place where an untyped view becomes a typed one.
#include "lexiscope/tensor.h"

#include "host/core/require.h"

namespace lexiscope {

void Tensor::expect(DType dtype, std::size_t rank) const {
  require(view_.dtype == dtype && view_.rank == rank, "tensor: is {} of rank {}, was asked for as {} of rank {}",
          name_of(view_.dtype), view_.rank, name_of(dtype), rank);
}

}  // namespace lexiscope
