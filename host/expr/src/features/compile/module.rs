//! The core module.

use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, EntityType, ExportKind, ExportSection, FunctionSection,
    GlobalSection, GlobalType, ImportSection, MemorySection, MemoryType, Module, TypeSection,
    ValType,
};

use super::data::Data;
use super::functions::{self, FINISH, OPEN, PROCESS, REALLOC, RESET};
use super::layout::Layout;
use super::memory::Memory;
use super::program::Program;
use super::{code::Code, logarithm, outputs, process, quantile, runs, search, wide};

/// The interface that the component exports.
const INTERFACE: &str = "flowloom:plugin/batch-feature@0.1.0";

/// Bytes of a page of memory.
const PAGE: u32 = 64 << 10;

/// The types of the functions, with the import first.
fn types() -> [(Vec<ValType>, Vec<ValType>); 19] {
    use ValType::{F64, I32, I64};
    let words = |n| vec![I32; n];
    [
        (words(3), vec![]),
        (words(4), words(1)),
        (words(8), words(1)),
        (words(1), words(1)),
        (vec![], vec![]),
        (words(1), vec![]),
        (words(2), vec![]),
        (words(1), vec![]),
        (words(3), vec![]),
        (words(1), vec![]),
        (vec![I64; 2], vec![I64; 2]),
        (vec![I64; 4], vec![F64]),
        (vec![I64; 2], vec![F64]),
        (vec![F64], vec![F64; 4]),
        (vec![I64; 2], words(1)),
        (vec![I64; 2], words(1)),
        (vec![I64], vec![I64]),
        (words(1), words(1)),
        (vec![I64], vec![F64]),
    ]
}

/// Returns the core module of a program.
pub(super) fn module(program: &Program, layout: &Layout) -> Vec<u8> {
    let memory = Memory::new(program, layout);

    let mut type_section = TypeSection::new();
    let mut function_section = FunctionSection::new();
    let mut import_section = ImportSection::new();
    for (n, (parameters, results)) in (0..).zip(types()) {
        type_section.ty().function(parameters, results);
        match n {
            0 => {
                let name = "flowloom:plugin/log@0.1.0";
                import_section.import(name, "write", EntityType::Function(n));
            }
            _ => {
                function_section.function(n);
            }
        }
    }

    // The functions of runs take the state.
    let state_function = functions::RESET;
    for _ in 0..runs::FUNCTIONS * program.runs.len() as u32 {
        function_section.function(state_function);
    }

    let mut code_section = CodeSection::new();
    for function in [
        functions::realloc(&memory),
        functions::open(&memory),
        process::process(program, layout, &memory),
        Code::new(0).finish(),
        functions::reset(&memory),
        functions::fail(),
        functions::begin(layout, &memory),
        outputs::expire(program, layout, &memory),
        outputs::expire_null(&memory),
        wide::multiply(),
        wide::spread(functions::MULTIPLY),
        wide::to_float(),
        logarithm::parts(),
        search::equal(),
        search::contains(&memory),
        search::distinct(&memory),
        quantile::sort(memory.sorting),
        search::entropy(&memory),
    ] {
        code_section.function(&function);
    }
    for run in 0..program.runs.len() {
        code_section.function(&runs::end(program, layout, &memory, run));
        code_section.function(&runs::begin(layout, run));
    }

    let pages = memory.states.div_ceil(PAGE) + 1;
    let mut memory_section = MemorySection::new();
    memory_section.memory(MemoryType {
        minimum: pages.into(),
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let capacity = (pages * PAGE - memory.states) / layout.stride;
    let mut global_section = GlobalSection::new();
    for value in [memory.arena, capacity, 0] {
        let ty = GlobalType {
            val_type: ValType::I32,
            mutable: true,
            shared: false,
        };
        global_section.global(ty, &ConstExpr::i32_const(value as i32));
    }
    let mut export_section = ExportSection::new();
    export_section.export("memory", ExportKind::Memory, 0);
    export_section.export("cabi_realloc", ExportKind::Func, REALLOC);
    for (name, function) in [("open", OPEN), ("process", PROCESS), ("finish", FINISH)] {
        let name = format!("{INTERFACE}#{name}");
        export_section.export(&name, ExportKind::Func, function);
        if function != FINISH {
            let name = format!("cabi_post_{name}");
            export_section.export(&name, ExportKind::Func, RESET);
        }
    }
    let mut data_section = DataSection::new();
    let base = ConstExpr::i32_const(Data::BASE as i32);
    data_section.active(0, &base, memory.data.bytes.iter().copied());

    let mut module = Module::new();
    module
        .section(&type_section)
        .section(&import_section)
        .section(&function_section)
        .section(&memory_section)
        .section(&global_section)
        .section(&export_section)
        .section(&code_section)
        .section(&data_section);
    module.finish()
}
