// A library that a fake plug-in is linked with, and that lies where the loader does not look.
extern "C" __attribute__((visibility("default"))) void lexiscope_absent_library() {}
