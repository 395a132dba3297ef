# The same as ./run, for those whose fingers type make.
.PHONY: run test
run:
	@./run
test:
	@./run test
