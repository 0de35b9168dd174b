#include "simt/cublas_lt_descriptors.h"

#include <cstring>
#include <optional>
#include <span>

using namespace lexiscope::simt;

namespace lexiscope::simt {
namespace {

// An object that callers hold by NVIDIA's opaque type, and what it stands for.
template <typename Opaque, typename Values>
struct Described : Opaque {
  Values values;
};

using Layouts = Handles<Described<cublasLtMatrixLayoutOpaque_t, MatrixLayout>>;
using Descriptions = Handles<Described<cublasLtMatmulDescOpaque_t, MatmulDescription>>;
using Preferences = Handles<Described<cublasLtMatmulPreferenceOpaque_t, MatmulPreference>>;

template <typename Registry>
Registry& registry(std::atomic<std::size_t>& count) {
  static auto* const instance = std::make_unique<Registry>(count).release();
  return *instance;
}

Layouts& layouts() { return registry<Layouts>(runtime().blas_descriptors); }
Descriptions& descriptions() { return registry<Descriptions>(runtime().blas_descriptors); }
Preferences& preferences() { return registry<Preferences>(runtime().blas_descriptors); }
Handles<cublasLtContext>& lt_handles() { return registry<Handles<cublasLtContext>>(runtime().blas_handles); }

template <typename Object, typename Opaque>
Object& at(Handles<Object>& handles, Opaque* opaque) {
  return handles.at(static_cast<Object*>(opaque), CUBLAS_STATUS_INVALID_VALUE);
}

// Where an attribute lies.
struct Field {
  void* data;
  std::size_t bytes;
};

template <typename Value>
Field field(Value& value) {
  return {&value, sizeof value};
}

// None for an attribute that products here do not have.
std::optional<Field> field_of(MatrixLayout& layout, cublasLtMatrixLayoutAttribute_t attribute) {
  switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_TYPE:
      return field(layout.type);
    case CUBLASLT_MATRIX_LAYOUT_ORDER:
      return field(layout.order);
    case CUBLASLT_MATRIX_LAYOUT_ROWS:
      return field(layout.rows);
    case CUBLASLT_MATRIX_LAYOUT_COLS:
      return field(layout.columns);
    case CUBLASLT_MATRIX_LAYOUT_LD:
      return field(layout.leading_dimension);
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
      return field(layout.batches);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
      return field(layout.stride);
    default:
      return std::nullopt;
  }
}

std::optional<Field> field_of(MatmulDescription& description, cublasLtMatmulDescAttributes_t attribute) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_COMPUTE_TYPE:
      return field(description.compute);
    case CUBLASLT_MATMUL_DESC_SCALE_TYPE:
      return field(description.scale);
    case CUBLASLT_MATMUL_DESC_POINTER_MODE:
      return field(description.pointer_mode);
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return field(description.transpose_a);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return field(description.transpose_b);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return field(description.epilogue);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return field(description.bias);
    case CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE:
      return field(description.bias_stride);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return field(description.bias_type);
    default:
      return std::nullopt;
  }
}

std::optional<Field> field_of(MatmulPreference& preference, cublasLtMatmulPreferenceAttributes_t attribute) {
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_SEARCH_MODE:
      return field(preference.search_mode);
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      return field(preference.max_workspace_bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
      return field(preference.reduction_schemes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
      return field(preference.alignment_a);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
      return field(preference.alignment_b);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
      return field(preference.alignment_c);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
      return field(preference.alignment_d);
    default:
      return std::nullopt;
  }
}

template <typename Values, typename Attribute>
void set_attribute(Values& values, Attribute attribute, const void* value, std::size_t bytes) {
  const auto found = field_of(values, attribute);
  require(found && value != nullptr && bytes == found->bytes, CUBLAS_STATUS_INVALID_VALUE);
  std::memcpy(found->data, value, bytes);
}

}  // namespace

void check_handle(cublasLtHandle_t handle) { lt_handles().at(handle, CUBLAS_STATUS_NOT_INITIALIZED); }

const MatrixLayout& layout_at(cublasLtMatrixLayout_t layout) { return at(layouts(), layout).values; }

const MatmulDescription& description_at(cublasLtMatmulDesc_t description) {
  return at(descriptions(), description).values;
}

const MatmulPreference& preference_at(cublasLtMatmulPreference_t preference) {
  return at(preferences(), preference).values;
}

}  // namespace lexiscope::simt

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  return blas_call("cublasLtCreate", [&] {
    require(handle != nullptr, CUBLAS_STATUS_INVALID_VALUE);
    *handle = lt_handles().create();
  });
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  return blas_release_call("cublasLtDestroy", [&] { lt_handles().destroy(handle, CUBLAS_STATUS_NOT_INITIALIZED); });
}

std::size_t cublasLtGetVersion() { return CUBLAS_VERSION; }

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, std::uint64_t rows,
                                          std::uint64_t columns, std::int64_t leading_dimension) {
  return blas_call("cublasLtMatrixLayoutCreate", [&] {
    require(layout != nullptr, CUBLAS_STATUS_INVALID_VALUE);
    auto* created = layouts().create();
    created->values.type = type;
    created->values.rows = rows;
    created->values.columns = columns;
    created->values.leading_dimension = leading_dimension;
    *layout = created;
  });
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  return blas_release_call("cublasLtMatrixLayoutDestroy",
                           [&] { layouts().destroy(&at(layouts(), layout), CUBLAS_STATUS_INVALID_VALUE); });
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* value,
                                                std::size_t bytes) {
  return blas_call("cublasLtMatrixLayoutSetAttribute",
                   [&] { set_attribute(at(layouts(), layout).values, attribute, value, bytes); });
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* description, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  return blas_call("cublasLtMatmulDescCreate", [&] {
    require(description != nullptr, CUBLAS_STATUS_INVALID_VALUE);
    auto* created = descriptions().create();
    created->values.compute = compute;
    created->values.scale = scale;
    *description = created;
  });
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t description) {
  return blas_release_call("cublasLtMatmulDescDestroy", [&] {
    descriptions().destroy(&at(descriptions(), description), CUBLAS_STATUS_INVALID_VALUE);
  });
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t description,
                                              cublasLtMatmulDescAttributes_t attribute, const void* value,
                                              std::size_t bytes) {
  return blas_call("cublasLtMatmulDescSetAttribute",
                   [&] { set_attribute(at(descriptions(), description).values, attribute, value, bytes); });
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  return blas_call("cublasLtMatmulPreferenceCreate", [&] {
    require(preference != nullptr, CUBLAS_STATUS_INVALID_VALUE);
    *preference = preferences().create();
  });
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  return blas_release_call("cublasLtMatmulPreferenceDestroy",
                           [&] { preferences().destroy(&at(preferences(), preference), CUBLAS_STATUS_INVALID_VALUE); });
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                                    std::size_t bytes) {
  return blas_call("cublasLtMatmulPreferenceSetAttribute",
                   [&] { set_attribute(at(preferences(), preference).values, attribute, value, bytes); });
}
