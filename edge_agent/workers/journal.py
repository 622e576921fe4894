class Stage:
    def __init__(self, desk): pass
    def handle(self, record): pass
    def idle(self): return False
    def close(self): pass
