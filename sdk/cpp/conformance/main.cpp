// C and C++ share the header and the conformance guest.
#include "../../c/conformance/main.c"
