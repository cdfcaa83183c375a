// (the helpers of unary and binary functions)
