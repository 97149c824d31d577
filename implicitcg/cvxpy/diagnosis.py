def explain(layer, arrays, which, error): return error
