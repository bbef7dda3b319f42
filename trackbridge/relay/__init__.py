"""The process that follows journals and hands them to adapters. It names no tracker."""
