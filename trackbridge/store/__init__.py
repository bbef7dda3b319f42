"""The consumer: folds journals into run records, with a disposable index beside them."""
